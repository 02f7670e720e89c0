"""Costly files of Netpbm."""

from tests.service.images.costly.parts import MEBIBYTE, case


@case
def ppm_of_text() -> bytes:
    return b"P3 1500 1500 255\n" + b"0 " * (1500 * 1500 * 3)


@case
def ppm_of_comments() -> bytes:
    return b"P6\n" + b"#\n" * MEBIBYTE + b"8 8 255\n" + bytes(192)


@case
def ppm_of_comments_behind() -> bytes:
    return b"P2 64 64 255\n" + b"#\n" * (2 * MEBIBYTE) + b"0 " * 4096


@case
def ppm_of_sixteen_bits() -> bytes:
    return b"P6 2300 2300 65535\n" + bytes(2300 * 2300 * 6)
