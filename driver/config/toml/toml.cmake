# SPDX-License-Identifier: MIT
# The TOML parser, apart from the driver because the fuzz build has nothing else of it.
add_library(berth_toml STATIC
    config/toml/datetime.c config/toml/number.c config/toml/parse.c config/toml/path.c
    config/toml/scan.c config/toml/string.c config/toml/toml.c config/toml/tree.c)
target_link_libraries(berth_toml PUBLIC berth_common)
