"""The goods of the made-up shop, with their names in the three languages of its customers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Article:
    """Something on the shelf. `price_minor` is for one piece, or for one kilogram where sold by weight."""

    sku: str
    titles: dict[str, str]
    """The name by language: "en", "fa", "ar"."""
    group_path: tuple[str, ...]
    brand: str
    price_minor: int
    by_weight: bool = False


def _article(
    sku: str, group: str, brand: str, price_minor: int, english: str, persian: str, arabic: str
) -> Article:
    titles = {"en": english, "fa": persian, "ar": arabic}
    by_weight = sku.endswith("kg")
    return Article(sku, titles, tuple(group.split("/")), brand, price_minor, by_weight)


GOODS: tuple[Article, ...] = (
    _article("1001-kg", "PRODUCE/FRUIT/APPLES", "", 189, "Red apples", "سیب سرخ", "تفاح أحمر"),
    _article("1002-kg", "PRODUCE/FRUIT/POMEGRANATES", "", 349, "Pomegranates", "انار", "رمان"),
    _article("1003-kg", "PRODUCE/VEGETABLES/TOMATOES", "", 149, "Tomatoes", "گوجه‌فرنگی", "طماطم"),
    _article("1004-kg", "PRODUCE/VEGETABLES/ONIONS", "", 79, "Onions", "پیاز", "بصل"),
    _article("1005", "PRODUCE/HERBS", "", 99, "Fresh herbs", "سبزی خوردن", "أعشاب طازجة"),
    _article("2001", "DAIRY/MILK", "Kalleh", 159, "Milk 1 l", "شیر ۱ لیتری", "حليب ١ لتر"),
    _article("2002", "DAIRY/YOGHURT", "Kalleh", 229, "Yoghurt", "ماست", "زبادي"),
    _article("2003", "DAIRY/CHEESE", "Domty", 319, "White cheese", "پنیر سفید", "جبنة بيضاء"),
    _article("2004", "DAIRY/BUTTER", "", 279, "Butter", "کره", "زبدة"),
    _article("3001", "BAKERY/BREAD", "", 89, "Flat bread", "نان سنگک", "خبز بلدي"),
    _article("3002", "BAKERY/SWEETS", "", 499, "Baklava", "باقلوا", "بقلاوة"),
    _article("4001", "GROCERY/RICE", "", 1899, "Rice 5 kg", "برنج هاشمی ۵ کیلو", "أرز ٥ كيلو"),
    _article("4002", "GROCERY/OIL", "", 649, "Sunflower oil", "روغن آفتابگردان", "زيت عباد الشمس"),
    _article("4003", "GROCERY/TEA", "Ahmad", 549, "Black tea", "چای سیاه", "شاي أسود"),
    _article("4004", "GROCERY/PULSES", "", 259, "Lentils", "عدس", "عدس"),
    _article("4005", "GROCERY/PULSES", "", 239, "Fava beans", "باقلا", "فول"),
    _article("4006", "GROCERY/SUGAR", "", 119, "Sugar", "شکر", "سكر"),
    _article("4007", "GROCERY/PASTA", "", 99, "Macaroni", "ماکارونی", "مكرونة"),
    _article("4008", "GROCERY/SPICES", "", 799, "Saffron 1 g", "زعفران ۱ گرم", "زعفران ١ جرام"),
    _article("5001-kg", "MEAT/POULTRY", "", 429, "Chicken", "مرغ", "دجاج"),
    _article("5002-kg", "MEAT/LAMB", "", 1349, "Lamb", "گوشت گوسفند", "لحم ضأن"),
    _article("6001", "HOUSEHOLD/CLEANING", "", 389, "Washing powder", "پودر لباسشویی", "مسحوق غسيل"),
    _article("6002", "HOUSEHOLD/PAPER", "", 299, "Paper tissues", "دستمال کاغذی", "مناديل ورقية"),
    _article("7001", "DRINKS/WATER", "", 49, "Water 1.5 l", "آب ۱٫۵ لیتری", "مياه ١٫٥ لتر"),
    _article("7002", "DRINKS/JUICE", "", 199, "Mango juice", "آب انبه", "عصير مانجو"),
)
