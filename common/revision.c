/* SPDX-License-Identifier: MIT */
#include "common/revision.h"

#include "revision_words.h"

const char revision_text[] = BERTH_REVISION;
