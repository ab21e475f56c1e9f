"""References that no other machine can follow."""

from pathlib import Path

import pytest

from prefdata.rules.image import ImageChecker


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("s3://bucket/a.png", "PD415"),
        ("cluster:s3://bucket/a.png", "PD415"),
        ("petrel://bucket/a.png", "PD415"),
        ("https://example.org/a.png", "PD415"),
        ("/mnt/petrelfs/a.png", "PD408"),
        ("file:///mnt/a.png", "PD408"),
        ("C:\\data\\a.png", "PD408"),
        ("D:/a.png", "PD408"),
        ("\\\\server\\a.png", "PD408"),
    ],
)
def test_leaked_paths(uri: str, code: str) -> None:
    assert [found for found, _ in ImageChecker(None, Path(), "none").check(uri)] == [code]


@pytest.mark.parametrize(
    "uri", ["a.png", "a:b.png", "12:30/a.png", "a/b://c.png", "s3/a.png", "file://a.png"]
)
def test_ordinary_paths(uri: str) -> None:
    assert ImageChecker(None, Path(), "none").check(uri) == ()
