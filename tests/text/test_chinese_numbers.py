"""Chinese numbers are written as their kind is read."""

import random

import pytest

from myxtts.text.chinese_numbers import expand_numbers, read_cardinal

FACTS = {
    "在12.5秒内": "在十二点五秒内",
    "有50名士兵": "有五十名士兵",
    "2024年5月3日": "二零二四年五月三日",
    "98年": "九八年",
    "10月2号": "十月二号",
    "5元3角": "五元三角",
    "20多万": "二十多万",
    "13812345678,": "一三八一二三四五六七八,",
    "+86 13812345678": "八六一三八一二三四五六七八",
    "010-62345678": "零一零六二三四五六七八",
    "3/4": "四分之三",
    "50%": "百分之五十",
    "3％": "百分之三",
    "2个": "二个",
    "200米": "两百米",
    "编号1234": "编号一二三四",
    "007": "零七",
    "B2B": "B2B",
    "你好！": "你好,",
    "": "",
    "^$": "",
    "$^": ",,",
}
CARDINALS = {
    "0": "零",
    "10": "十",
    "12": "十二",
    "20": "二十",
    "22": "二十二",
    "110": "一百一十",
    "1002": "一千零二",
    "2222": "两千两百二十二",
    "20000": "两万",
    "100000000": "一亿",
    "0.25": "零点二五",
    "00.5": "零点五",
}


@pytest.mark.parametrize("text", FACTS)
def test_kinds_of_numbers(text):
    assert expand_numbers(text) == FACTS[text]


@pytest.mark.parametrize("number", CARDINALS)
def test_cardinals(number):
    assert read_cardinal(number) == CARDINALS[number]


@pytest.mark.parametrize("text", ["7" * 10_000 + "个", "1元" * 5000, "字" * 10_000, "1/2%" * 2500])
def test_long_texts_are_read_without_a_deep_descent(text):
    assert "1" not in expand_numbers(text)


def test_equals_coquis_normaliser_on_any_mixture():
    module = pytest.importorskip(
        "TTS.tts.layers.xtts.zh_num2words", reason="coqui-tts is not installed (make reference)"
    )
    theirs, rng = module.TextNorm(), random.Random(0)
    letters = "0123456789" * 3 + "2222..//%％年月日号元块角毛万亿千百分个米克多几+- ab儿，。^$"
    compared = 0
    for _ in range(3000):
        text = "".join(rng.choices(letters, k=rng.randint(1, 20)))
        try:
            expected = theirs(text)
        except Exception:
            continue
        compared += 1
        assert expand_numbers(text) == expected, text
    assert compared > 2900
