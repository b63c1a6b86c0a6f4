"""Texts on which a converted or quantised sentence model must agree with what it was made from: of many lengths and
scripts, of words that no vocabulary has, and one that is longer than any model reads."""

PHRASES = (
    "a",
    "Hello!",
    "The cat sits on the mat.",
    "A cat is sitting on a rug.",
    "Stock markets fell sharply on Monday.",
    "Share prices dropped at the start of the week.",
    "How do I reset my password?",
    "I forgot my login and cannot get into my account.",
    "The invoice for March has not been paid yet.",
    "Please send me a refund for the broken kettle.",
    "My parcel was meant to arrive on Tuesday, but the tracking page has not changed for four days.",
    "Water boils at 100 °C at sea level and at about 93 °C on a mountain of 2,000 m.",
    "def add(a, b): return a + b",
    "SELECT name, price FROM products WHERE price > 10 ORDER BY price;",
    "https://example.org/a/long/path?with=many&query=parameters#and-a-fragment",
    "Der Zug nach München fährt heute von Gleis sieben.",
    "Où se trouve la bibliothèque la plus proche ?",
    "El perro duerme a la sombra del olivo.",
    "東京は今日も雨です。",
    "Сегодня в Москве идёт снег.",
    "مرحبا بالعالم",
    "🙂🚀 emojis and ½ fractions ≠ plain ASCII",
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen",
    "xkcdqzv wvuts pqrzzt",
    "1234567890 3.14159 2.71828 1e-7",
    "UPPER CASE SHOUTING AND lower case whispering",
    "   spaces   and\ttabs\nand lines   ",
    "A distributed system is one in which a computer that you did not know existed can make your own one unusable.",
    "Retries multiply load just when there is too much of it, which is why they are given a budget of their own.",
    "She sold her small house by the sea, bought a van, and drove south until the road ended at a harbour where "
    "nobody asked her where she came from or how long she meant to stay.",
    "The committee agreed that the bridge should be closed to lorries until the cracks in its second pillar have been "
    "measured again, and that cyclists and people on foot may go on using it at their own risk.",
    "In the morning we walked along the river, past the mill and the old weir, up to the chapel on the hill; there we "
    "ate bread and cheese, watched two herons fish, and turned back only when the first drops of rain fell.",
    "word " * 60,
    "The quick brown fox jumps over the lazy dog. " * 20,
    "Rivers carry sand and silt from the mountains to the sea, grain by grain and year after year. " * 60,
)
