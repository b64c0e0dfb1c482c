"""`python -m topicflow`: the command line."""

from topicflow.flows.commands.cli import main

if __name__ == "__main__":
    main()
