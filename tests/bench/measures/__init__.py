# SPDX-License-Identifier: MIT
"""One file per measure. Each has NAME and measure(context), which returns (rows, growths)."""
