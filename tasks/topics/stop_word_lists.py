"""Stop word lists: function words of languages that no package lists well, and English contractions.

Only the most frequent function words: articles, pronouns, prepositions, conjunctions, auxiliary verbs.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTRACTIONS = (
    "ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't n't needn't shan't "
    "shouldn't wasn't weren't won't wouldn't"
)
"""English words with an apostrophe that one word is made of; they're and it's are they and it."""

LISTS: Mapping[str, str] = {
    "amharic": "እና ነው ነበር ላይ ውስጥ ግን ይህ ያ እንደ ወደ ከ ስለ ጋር አንድ ሁሉ ደግሞ ነገር ሆነ እኔ እሱ እሷ እኛ",
    "burmese": "သည် က ကို မှာ တွင် နှင့် ၏ များ ရှိ ဖြစ် ၍ သော မှ လည်း ခဲ့ ပြီး အတွက် ဖြင့် ထို ဤ တို့ သူ မ ပါ "
    "ဖြစ်သည် မည် ရန် အား ဟု နေ တယ် ပဲ ဒီ အဲဒီ ဘာ",
    "kannada": "ಒಂದು ಮತ್ತು ಈ ಆ ಎಂದು ಎಂಬ ಅವರು ಅವನು ಅವಳು ಅದು ಇದು ನಾನು ನೀವು ನಾವು ಆದರೆ ಅಥವಾ ಹಾಗೂ ಇದೆ ಇವೆ ಇದ್ದ ಇಲ್ಲ ಮೇಲೆ "
    "ತನ್ನ ಅವರ ಇದನ್ನು ಅದನ್ನು ಕೂಡ ಬಗ್ಗೆ ಎಲ್ಲಾ",
    "khmer": "និង នៃ ជា ក្នុង នៅ ដែល មាន បាន ពី ទៅ ដោយ នេះ នោះ គឺ ឬ តែ ក៏ ទេ មិន ជាមួយ សម្រាប់ ដើម្បី ខ្ញុំ គាត់ គេ យើង អ្នក "
    "ត្រូវ មួយ ប៉ុន្តែ របស់",
    "lao": "ແລະ ຂອງ ເປັນ ມີ ໃນ ທີ່ ໄດ້ ຈາກ ກັບ ນີ້ ນັ້ນ ໃຫ້ ວ່າ ບໍ່ ຫຼື ແຕ່ ຢູ່ ຈະ ກໍ ຂ້ອຍ ເຈົ້າ ເຂົາ ພວກ ໄປ ມາ ໂດຍ ຕໍ່ ເພື່ອ ນຳ ແລ້ວ",
    "malayalam": "ഒരു ഈ ആ എന്ന എന്നും എന്ന് അത് ഇത് അവർ അവൻ അവൾ ഞാൻ നിങ്ങൾ ഞങ്ങൾ പക്ഷേ അല്ലെങ്കിൽ ആണ് ആയിരുന്നു ഉണ്ട് "
    "ഇല്ല കൂടി മാത്രം വരെ നിന്ന് മറ്റ് തന്റെ അതിന്റെ ഇതിന്റെ",
    "nepali": "र को मा छ छन् यो त्यो का की ले लाई पनि भने हो थियो थिए गर्ने गरी एक हुन् हुने भएको तथा वा तर सँग बाट लागि "
    "उनले उनी हामी म यस त्यस कुनै अनि नै",
    "punjabi": "ਦੇ ਦੀ ਦਾ ਨੂੰ ਵਿੱਚ ਵਿਚ ਤੇ ਅਤੇ ਹੈ ਹਨ ਨੇ ਤੋਂ ਇਹ ਉਹ ਇਸ ਉਸ ਨਾਲ ਲਈ ਕਿ ਵੀ ਨਹੀਂ ਸੀ ਸਨ ਇੱਕ ਇਕ ਕਰ ਹੋ ਹੀ ਜੋ ਜਾਂ ਪਰ "
    "ਆਪਣੇ ਮੈਂ ਤੁਸੀਂ",
    "sinhala": "සහ හා ඒ මේ එය ඔහු ඇය මම අපි ඔබ සඳහා සමඟ විසින් ලෙස ඇති බව වූ වන නමුත් හෝ",
    "tamil": "ஒரு என்று மற்றும் இந்த இது என்ற என்பது பல ஆகும் அல்லது அவர் நான் உள்ள அந்த இவர் என முதல் என்ன இருந்து "
    "சில போன்ற வேண்டும் இதன் அது அவன் தான் மேலும் பின்னர் கொண்ட இருக்கும் தனது உள்ளது போது என்றும் அதன் தன் பிறகு "
    "அவர்கள் வரை அவள் நீ ஆகிய இருந்தது மிகவும் இங்கு மீது இவை பற்றி வேறு இதில் மட்டும் நாம் எனவே மற்ற எந்த",
    "telugu": "ఒక మరియు ఈ ఆ అని కూడా కానీ అది ఇది తన నుండి నుంచి లో కు వారు అతను ఆమె నేను మీరు మేము ఉంది ఉన్న ఉన్నాయి "
    "ఉన్నారు అయితే వరకు కోసం గురించి పై యొక్క లేదా",
    "tibetan": "གི ཀྱི གྱི འི ཡི ལ ན ར ནས ལས དང ནི གིས ཀྱིས གྱིས ཡིན རེད ཡོད འདུག མི མ པ བ པའི བའི དེ འདི",
    "urdu": "کے کی کا میں ہے ہیں اور سے کو نے پر کہ یہ وہ اس ان ایک بھی نہیں تھا تھی تھے جو تو ہو کر کیا گیا "
    "لیے ساتھ یا مگر لیکن اپنے ہم آپ کوئی کچھ جب تک بعد ہی",
}

NAMES: Mapping[str, str] = {
    "af": "afrikaans", "am": "amharic", "bn": "bengali", "br": "breton", "eo": "esperanto", "et": "estonian",
    "eu": "basque", "ga": "irish", "gl": "galician", "ha": "hausa", "hr": "croatian", "hy": "armenian",
    "km": "khmer", "kn": "kannada", "ku": "kurdish", "la": "latin", "lo": "lao", "lt": "lithuanian", "lv": "latvian",
    "ml": "malayalam", "mr": "marathi", "my": "burmese", "ne": "nepali", "no": "norwegian", "pa": "punjabi",
    "si": "sinhala", "sl": "slovenian", "so": "somali", "st": "sotho", "sw": "swahili", "ta": "tamil",
    "te": "telugu", "th": "thai", "tl": "tagalog", "bo": "tibetan", "ur": "urdu", "yo": "yoruba", "zu": "zulu",
}  # fmt: skip
"""Languages that the package stop-words lacks, by their codes (ISO 639-1)."""
