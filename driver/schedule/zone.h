/* SPDX-License-Identifier: MIT */
/*
 * zone.h - a time zone: its offset from UTC at any moment.
 *
 * Zones are read from files of /usr/share/zoneinfo (TZif, RFC 9636 section 3; the rule in the
 * footer is the TZ variable of POSIX, section 8.3), not by localtime(): the C library takes UTC
 * silently for a zone that it cannot find, and TZ is for the whole process. "UTC" and "Etc/UTC"
 * need no file. Names that are absolute or have a part that begins with a dot are refused.
 *
 * zone_load() and zone_parse() give a zone that the caller frees with zone_free(), which accepts
 * NULL. A bad name or a missing file is ERROR_USAGE, and a missing file names the package tzdata.
 * Times are Unix seconds, offsets seconds east of UTC.
 */
#ifndef BERTH_DRIVER_SCHEDULE_ZONE_H
#define BERTH_DRIVER_SCHEDULE_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define ZONE_DIRECTORY          "/usr/share/zoneinfo"
#define ZONE_NAME_BYTES         64 /* the longest name has 32 characters */
#define ZONE_FILE_CEILING_BYTES (64UL << 10)
#define ZONE_OFFSET_CEILING_S   (26 * 3600) /* RFC 9636 section 3.2: less than this */

struct zone;

/* Whether a name may be looked up. */
bool zone_name_is_valid(const char *name);

/* 'directory': NULL: ZONE_DIRECTORY. */
int zone_load(const char *directory, const char *name, struct zone **out_zone, struct error *err)
    __attribute__((warn_unused_result));
/* The bytes of a file; not kept. Exported for fuzzing. */
int zone_parse(const unsigned char *bytes, size_t length, struct zone **out_zone, struct error *err)
    __attribute__((warn_unused_result));
void zone_free(struct zone *zone);

/* The offset at 'time_s', and when it next may change; INT64_MAX: never. */
int32_t zone_offset(const struct zone *zone, int64_t time_s, int64_t *out_until_s);

/* The first moment at which a clock in the zone shows 'local_s' or later ('local_s': seconds since
 * 1970-01-01 00:00 on that clock). So a time in a gap is the gap's end, and of a time that comes
 * twice the first counts. */
int64_t zone_moment(const struct zone *zone, int64_t local_s);

#endif
