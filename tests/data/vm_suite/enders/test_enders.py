"""Behind these tests, at the exit of their worker, the kernel warns (conftest.py)."""


def test_comes_first():
    pass


def test_comes_last():
    pass
