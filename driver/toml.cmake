# SPDX-License-Identifier: MIT
# The TOML parser, apart from the driver because the fuzz build has nothing else of it.
add_library(berth_toml STATIC
    toml.c toml_datetime.c toml_number.c toml_parse.c toml_path.c toml_scan.c toml_string.c
    toml_tree.c)
target_link_libraries(berth_toml PUBLIC berth_common)
