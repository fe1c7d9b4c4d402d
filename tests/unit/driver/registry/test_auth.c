/* SPDX-License-Identifier: MIT */
#include "driver/registry/auth.h"

#include <sodium.h>
#include <sys/stat.h>

#include "driver/base/json.h"

#include "tests/unit/driver/rows.h"

/* Prints the login in the file of the key's name, '/' as '_', and notes that it was asked. */
static const char helper[] = "#!/bin/sh\n"
                             "read -r key\n"
                             "echo \"$key\" >>\"$DOCKER_CONFIG/asked\"\n"
                             "file=$DOCKER_CONFIG/$(echo \"$key\" | tr /: __)\n"
                             "if test -f \"$file\"; then cat \"$file\"; exit; fi\n"
                             "echo 'credentials not found in native keychain'\n"
                             "exit 1\n";

static void write_program(const char *name, const char *text)
{
    assert_int_equal(chmod(rows_file(name, text, strlen(text)), 0700), 0);
}

static int prepare(void **state)
{
    static char path[256];
    assert_true(sodium_init() >= 0);
    assert_int_equal(rows_make_directory(state), 0);
    (void)snprintf(path, sizeof(path), "%s:%s", rows_directory, getenv("PATH"));
    (void)setenv("PATH", path, 1);
    (void)setenv("DOCKER_CONFIG", rows_directory, 1);
    write_program("docker-credential-h", helper);
    write_program("docker-credential-fails", "#!/bin/sh\necho secret-word; exit 3\n");
    write_program("docker-credential-empty", "#!/bin/sh\nexit 0\n");
    write_program("docker-credential-blank",
                  "#!/bin/sh\necho '{\"Username\":\"\",\"Secret\":\"\"}'\n");
    write_program("docker-credential-odd", "#!/bin/sh\necho '[1]'\n");
    static const char hub[] = "{\"Username\":\"of hub\",\"Secret\":\"s\"}";
    static const char name[] = "{\"Username\":\"of docker.io\",\"Secret\":\"s\"}";
    (void)rows_file("https___index.docker.io_v1_", hub, strlen(hub));
    (void)rows_file("docker.io", name, strlen(name));
    return 0;
}

/* The user of the login for the image; "": none. */
static void find(const char *image, char user[64], char note[256], struct error *err)
{
    struct image_name name;
    struct registry_auth auth;
    char text[4096];
    size_t length = 0;
    user[0] = '\0';
    assert_int_equal(image_name_parse(image, &name), 0);
    int result = registry_auth_find(&name, NULL, &auth, err);
    (void)snprintf(note, 256, "%s", auth.note);
    if (result < 0) {
        (void)snprintf(user, 64, "error");
    } else if (auth.header != NULL) {
        const char *value = strstr(auth.header, ": ") + 2;
        assert_int_equal(sodium_base642bin((unsigned char *)text, sizeof(text) - 1, value,
                                           strlen(value), NULL, &length, NULL,
                                           sodium_base64_VARIANT_URLSAFE),
                         0);
        text[length] = '\0';
        cJSON *json = cJSON_Parse(text);
        (void)snprintf(user, 64, "%s", json_text_at(json, "username"));
        cJSON_Delete(json);
    }
    sodium_free(auth.header);
}

static void set_or_unset(const char *name, const char *value)
{
    (void)(value == NULL ? unsetenv(name) : setenv(name, value, 1));
}

#define AUTH(key, user) "\"" key "\":{\"username\":\"" user "\",\"password\":\"p\"}"
#define R               "r.example:5000"
#define AUTHS(entries)  "{\"auths\":{" entries "}}"

static void finds_the_login(void **state)
{
    (void)state;
    static const struct {
        const char *name, *image, *variable, *file, *user;
    } rows[] = {
        {"the registry", R "/a/b", AUTHS(AUTH(R, "r")), NULL, "r"},
        {"another registry", "r.example/a", AUTHS(AUTH(R, "r")), NULL, ""},
        {"case and scheme", R "/a/b", AUTHS(AUTH("https://R.Example:5000/v2/", "r")), NULL, "r"},
        {"http and v1", R "/a/b", AUTHS(AUTH("http://" R "/v1", "r")), NULL, "r"},
        {"the longest", R "/grp1/a", AUTHS(AUTH(R, "r") "," AUTH(R "/grp1", "1")), NULL, "1"},
        {"whatever the order", R "/grp1/a", AUTHS(AUTH(R "/grp1", "1") "," AUTH(R, "r")), NULL,
         "1"},
        {"to the image", R "/g/a:2", AUTHS(AUTH(R "/g", "g") "," AUTH(R "/g/a", "a")), NULL, "a"},
        {"a tag in a key", R "/g/a:2", AUTHS(AUTH(R "/g/a:1", "a")), NULL, "a"},
        {"a slash at its end", R "/g/a", AUTHS(AUTH(R "/g/", "g")), NULL, "g"},
        {"another namespace", R "/grp2/a", AUTHS(AUTH(R "/grp1", "1")), NULL, ""},
        {"with a scheme", R "/grp2/a", AUTHS(AUTH("https://" R "/grp1", "1")), NULL, ""},
        {"that begins alike", R "/grp10/a", AUTHS(AUTH(R "/grp1", "1")), NULL, ""},
        {"a host that begins alike", "r.example.evil/a", AUTHS(AUTH("r.example", "1")), NULL, ""},
        {"a group named v2", R "/a/b", AUTHS(AUTH(R "/v2", "1")), NULL, ""},
        {"an empty one is none", R "/grp1/a", AUTHS("\"" R "/grp1\":{}," AUTH(R, "r")), NULL, "r"},
        {"Hub", "ruby:3", AUTHS(AUTH("https://index.docker.io/v1/", "h")), NULL, "h"},
        {"Hub's host", "group/ruby", AUTHS(AUTH("index.docker.io", "h")), NULL, "h"},
        {"Hub's name", "ruby", AUTHS(AUTH("docker.io", "h")), NULL, "h"},
        {"Hub's registry", "ruby", AUTHS(AUTH("registry-1.docker.io", "h")), NULL, "h"},
        {"Hub with a scheme", "ruby", AUTHS(AUTH("https://docker.io", "h")), NULL, "h"},
        {"an image at Hub's host", "index.docker.io/a/b", AUTHS(AUTH("docker.io/a", "h")), NULL,
         "h"},
        {"a namespace of Hub", "a/b", AUTHS(AUTH("docker.io/a", "h")), NULL, "h"},
        {"not that of another", "b/b", AUTHS(AUTH("docker.io/a", "h")), NULL, ""},
        {"an official one", "ruby", AUTHS(AUTH("docker.io/library", "h")), NULL, "h"},
        {"as the runner has it", "ruby", AUTHS(AUTH("docker.io/ruby", "h")), NULL, "h"},
        {"Docker's own spelling", "ruby",
         AUTHS(AUTH("docker.io", "x") "," AUTH("https://index.docker.io/v1/", "h")), NULL, "h"},
        {"the variable first", R "/a/b", AUTHS(AUTH(R, "var")), AUTHS(AUTH(R, "file")), "var"},
        {"then the file", R "/a/b", AUTHS(AUTH("other", "var")), AUTHS(AUTH(R, "file")), "file"},
        {"helper, store, auths", "localhost/a", NULL,
         "{\"credHelpers\":{\"localhost\":\"h\"},"
         "\"auths\":{" AUTH("localhost", "file") "}}",
         "file"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char user[64], note[256];
        struct error err = {0};
        set_or_unset("CUSTOM_ENV_DOCKER_AUTH_CONFIG", rows[i].variable);
        const char *file = rows[i].file == NULL ? "{}" : rows[i].file;
        (void)rows_file("config.json", file, strlen(file));
        find(rows[i].image, user, note, &err);
        if (strcmp(user, rows[i].user) != 0) {
            fail_msg("%s: '%s' %s", rows[i].name, user, err.message);
        }
        assert_string_equal(note, "");
    }
}

static void asks_helpers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *image, *file, *user, *asked, *note;
    } rows[] = {
        {"its own", "ruby", "{\"credHelpers\":{\"docker.io\":\"h\"}}", "of docker.io",
         "docker.io\n", ""},
        {"the store by Docker's key", "ruby", "{\"credsStore\":\"h\"}", "of hub",
         "https://index.docker.io/v1/\n", ""},
        {"the store by the marked key", "ruby",
         "{\"credsStore\":\"h\",\"auths\":{\"docker.io\":{}}}", "of docker.io", "docker.io\n", ""},
        {"its own before the store", "ruby",
         "{\"credHelpers\":{\"docker.io\":\"h\"},\"credsStore\":\"fails\"}", "of docker.io",
         "docker.io\n", ""},
        {"stale auths", "ruby",
         "{\"credsStore\":\"h\",\"auths\":{" AUTH("https://index.docker.io/v1/", "stale") "}}",
         "of hub", "https://index.docker.io/v1/\n", ""},
        {"another's is not asked", R "/a", "{\"credHelpers\":{\"docker.io\":\"h\"}}", "", "", ""},
        {"nothing known", R "/a", "{\"credHelpers\":{\"" R "\":\"h\"},\"credsStore\":\"h\"}", "",
         R "\n" R "\n", ""},
        {"absent", "ruby", "{\"credHelpers\":{\"docker.io\":\"absent\"},\"credsStore\":\"h\"}",
         "of hub", "https://index.docker.io/v1/\n", ""},
        {"absent, then auths", R "/a",
         "{\"credsStore\":\"absent\",\"auths\":{" AUTH(R, "file") "}}", "file", "", ""},
        {"no name", R "/a", "{\"credsStore\":\"\",\"credHelpers\":{\"" R "\":\"\"}}", "", "", ""},
        {"no output", "ruby", "{\"credHelpers\":{\"docker.io\":\"empty\"},\"credsStore\":\"h\"}",
         "of hub", "https://index.docker.io/v1/\n", ""},
        {"an empty login", "ruby", "{\"credHelpers\":{\"docker.io\":\"blank\"}}", "", "", ""},
        {"a failure", R "/a", "{\"credsStore\":\"fails\"}", "", "",
         "'docker-credential-fails' exited with status 3"},
        {"a failure, then auths", R "/a",
         "{\"credsStore\":\"fails\",\"auths\":{" AUTH(R, "file") "}}", "file", "",
         "'docker-credential-fails' exited with status 3"},
        {"no login at all", R "/a", "{\"credsStore\":\"odd\"}", "", "",
         "'docker-credential-odd' did not print a login"},
        {"a path", R "/a", "{\"credsStore\":\"../h\"}", "", "",
         "'../h' is not a valid name of a credential helper"},
    };
    (void)unsetenv("CUSTOM_ENV_DOCKER_AUTH_CONFIG");
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char user[64], note[256];
        char asked[512] = "";
        struct error err = {0};
        (void)rows_file("asked", "", 0);
        (void)rows_file("config.json", rows[i].file, strlen(rows[i].file));
        find(rows[i].image, user, note, &err);
        char path[256];
        (void)snprintf(path, sizeof(path), "%s/asked", rows_directory);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        asked[fread(asked, 1, sizeof(asked) - 1, file)] = '\0';
        (void)fclose(file);
        if (strcmp(user, rows[i].user) != 0 || strcmp(asked, rows[i].asked) != 0 ||
            strncmp(note, rows[i].note, strlen(rows[i].note)) != 0 ||
            (rows[i].note[0] == '\0' && note[0] != '\0')) {
            fail_msg("%s: '%s', asked '%s', '%s' %s", rows[i].name, user, asked, note, err.message);
        }
        assert_null(strstr(note, "secret-word"));
    }
}

static void a_job_starts_no_helper(void **state)
{
    (void)state;
    char user[64], note[256];
    struct error err = {0};
    (void)rows_file("config.json", "{}", 2);
    (void)rows_file("asked", "", 0);
    (void)setenv("CUSTOM_ENV_DOCKER_AUTH_CONFIG",
                 "{\"credHelpers\":{\"docker.io\":\"h\"},\"credsStore\":\"h\"}", 1);
    find("ruby", user, note, &err);
    assert_string_equal(user, "");
    char path[256];
    struct stat stat_of;
    (void)snprintf(path, sizeof(path), "%s/asked", rows_directory);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_size, 0);
}

/* GitLab's own login, for its registry alone, after the file. */
static void takes_gitlabs_login_last(void **state)
{
    (void)state;
    char user[64], note[256];
    struct error err = {0};
    (void)unsetenv("CUSTOM_ENV_DOCKER_AUTH_CONFIG");
    (void)setenv("CUSTOM_ENV_CI_REGISTRY", R, 1);
    (void)setenv("CUSTOM_ENV_CI_REGISTRY_USER", "gitlab", 1);
    (void)setenv("CUSTOM_ENV_CI_REGISTRY_PASSWORD", "p", 1);
    (void)rows_file("config.json", "{\"credsStore\":\"h\"}", 18);
    find(R "/a/b", user, note, &err);
    assert_string_equal(user, "gitlab");
    find("ruby", user, note, &err);
    assert_string_equal(user, "of hub");
    find("r.example/a", user, note, &err);
    assert_string_equal(user, "");
    (void)unsetenv("CUSTOM_ENV_CI_REGISTRY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_login),
        cmocka_unit_test(asks_helpers),
        cmocka_unit_test(a_job_starts_no_helper),
        cmocka_unit_test(takes_gitlabs_login_last),
    };
    return cmocka_run_group_tests(tests, prepare, rows_remove_directory);
}
