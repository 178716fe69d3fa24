"""Chinese dates, money, telephone numbers, fractions, percentages and numbers as characters.

The kinds, their order and their readings are those of Coqui's normaliser, which goes
back to the Chinese text normalisation of Zhou and Du (``chn_text_norm``).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

_DIGITS = "零一二三四五六七八九"
# Characters of the powers of ten that have one.
_UNITS = dict(zip((1, 2, 3, 4), "十百千万", strict=True))
_UNITS |= dict(zip(range(8, 48, 4), "亿兆京垓秭穰沟涧正载", strict=True))
_ABOVE_TEN = "".join(_UNITS.values())[1:]
_PAIR = re.compile(rf"(?:^|(?<=[{_ABOVE_TEN}]))二(?=[{_ABOVE_TEN}])")
# Longer ones are nobody's count, and reading them by their units would take too deep a descent.
_LONGEST = 1000

_PUNCTUATION = string.punctuation + (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃《》「」『』"
    "【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏·〈〉"
)
_TO_COMMAS = str.maketrans(dict.fromkeys(_PUNCTUATION, ","))

_SCALE = "亿|千万|百万|万|千|百"
_MONEY_UNIT = rf"(?:{_SCALE}|(?:{_SCALE}|)[元块]|[角毛分])"
_MEASURE_WORDS = (
    "匹张座回场尾条个首阙阵网炮顶丘棵只支袭辆挑担颗壳窠曲墙群腔砣客贯扎捆刀令打手罗坡山岭江溪"
    "钟队单双对出口头脚板跳枝件贴针线管名位身堂课本页家户层丝毫厘分钱两斤铢石钧锱忽寸尺丈里寻常"
    "铺程撮勺合升斗盘碗碟叠桶笼盆盒杯斛锅簋篮罐瓶壶卮盏箩箱煲啖袋钵年月日季刻时周天秒旬纪岁世更"
    "夜春夏秋冬代伏辈丸泡粒幢堆根道面片块"
)
_MEASURE = rf"(?:[千毫微]克|[千分厘毫]米|[{_MEASURE_WORDS}])"
_NUMBER = r"\d+(?:\.\d+)?"
_DAY = r"\d{1,2}月(?:\d{1,2}[日号])?"


def expand_numbers(text: str) -> str:
    """Write the numbers of ``text`` as characters and its punctuation as commas."""
    # The marks at both ends give every number a neighbour, which the patterns ask for.
    text = f"^{text}$".replace("％", "%")
    for pattern, read in _READINGS:
        text = _read_all(pattern, read, text)
    return text.lstrip("^").rstrip("$").translate(_TO_COMMAS)


def _read_all(pattern: re.Pattern, read: Callable[[str], str], text: str) -> str:
    # As in Coqui the place that is rewritten is the first with those characters, not
    # always the one that matched.
    for match in pattern.finditer(text):
        text = text.replace(match[1], read(match[1]), 1)
    return text


def read_cardinal(number: str) -> str:
    """``12.5`` as 十二点五; two before a unit above ten is 两."""
    whole, _, decimals = number.partition(".")
    by_units = 1 < len(whole) <= _LONGEST
    spoken = _with_units(whole) if by_units else read_digits(whole)
    spoken = _PAIR.sub("两", spoken)
    if decimals:
        spoken = f"{spoken or _DIGITS[0]}点{read_digits(decimals)}"
    return spoken[1:] if spoken.startswith("一十") else spoken


def read_digits(text: str) -> str:
    """The digits of ``text`` one by one; what is none is left out."""
    return "".join(_DIGITS[int(digit)] for digit in text if digit.isdecimal())


def _with_units(digits: str) -> str:
    counted = digits.lstrip("0")
    if len(counted) <= 1:
        skipped = _DIGITS[0] if counted and counted != digits else ""
        return skipped + read_digits(counted)
    power = max(power for power in _UNITS if power < len(counted))
    return _with_units(digits[:-power]) + _UNITS[power] + _with_units(counted[-power:])


def _read_date(date: str) -> str:
    year, mark, rest = date.rpartition("年")
    return read_digits(year) + mark + _read_numbers(rest)


def _read_numbers(amount: str) -> str:
    return re.sub(_NUMBER, lambda match: read_cardinal(match[0]), amount)


def _read_fraction(fraction: str) -> str:
    numerator, denominator = fraction.split("/")
    return f"{read_cardinal(denominator)}分之{read_cardinal(numerator)}"


def _read_percentage(percentage: str) -> str:
    return f"百分之{read_cardinal(percentage.rstrip('%'))}"


_READINGS: tuple[tuple[re.Pattern, Callable[[str], str]], ...] = (
    (re.compile(rf"\D((?:[089]\d|(?:19|20)\d{{2}})年(?:{_DAY})?|{_DAY})"), _read_date),
    (re.compile(rf"\D({_NUMBER}[多余几]?{_MONEY_UNIT}(?:\d{_MONEY_UNIT}?)?)"), _read_numbers),
    # Mobile, then fixed telephones.
    (re.compile(r"\D((?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8})\D"), read_digits),
    (re.compile(r"\D((?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7})\D"), read_digits),
    (re.compile(r"(?<!\d)(\d+/\d+)"), _read_fraction),
    (re.compile(rf"(?<!\d)({_NUMBER}%)"), _read_percentage),
    (re.compile(rf"(?<!\d)({_NUMBER})[多余几]?{_MEASURE}"), read_cardinal),
    # Four digits and more that nothing explains are a code.
    (re.compile(r"(\d{4,32})"), read_digits),
    (re.compile(rf"({_NUMBER})"), read_cardinal),
    # The two of B2B is no number.
    (re.compile(r"([a-zA-Z]+二[a-zA-Z]+)"), lambda word: word.replace("二", "2")),
)
