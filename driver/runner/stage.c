/* SPDX-License-Identifier: MIT */
#include "driver/runner/stage.h"

#include <stddef.h>
#include <string.h>

bool stage_is_predefined(const char *stage)
{
    static const char *const predefined[] = {
        "prepare_script",
        "get_sources",
        "clear_worktree",
        "restore_cache",
        "download_artifacts",
        "archive_cache",
        "archive_cache_on_failure",
        "upload_artifacts_on_success",
        "upload_artifacts_on_failure",
        "cleanup_file_variables",
    };
    for (size_t i = 0; i < sizeof(predefined) / sizeof(predefined[0]); i++) {
        if (strcmp(stage, predefined[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool stage_is_users(const char *stage)
{
    return strncmp(stage, "step_", 5) == 0 || strcmp(stage, "build_script") == 0 ||
           strcmp(stage, "after_script") == 0;
}
