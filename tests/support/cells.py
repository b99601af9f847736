"""A few architectures of NAS-Bench-201."""

CELLS = ["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"] + [
    f"|{op}~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    for op in ("skip_connect", "nor_conv_1x1", "nor_conv_3x3")
]
