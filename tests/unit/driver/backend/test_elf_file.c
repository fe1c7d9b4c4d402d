/* SPDX-License-Identifier: MIT */
#include "driver/backend/elf_file.h"

#include <elf.h>

#include "tests/unit/driver/rows.h"

#define SEGMENTS 2

struct program {
    Elf64_Ehdr header;
    Elf64_Phdr segments[SEGMENTS];
};

static struct program make_program(uint16_t machine, uint16_t type, uint32_t second_segment)
{
    struct program program = {
        .header = {.e_type = type,
                   .e_machine = machine,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = SEGMENTS},
        .segments = {{.p_type = PT_LOAD}, {.p_type = second_segment}},
    };
    memcpy(program.header.e_ident, ELFMAG, SELFMAG);
    program.header.e_ident[EI_CLASS] = ELFCLASS64;
    program.header.e_ident[EI_DATA] = ELFDATA2LSB;
    return program;
}

static void knows_processor_and_linking(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint16_t machine, type;
        uint32_t segment;
        const char *processor;
        bool is_static;
    } rows[] = {
        {"static", EM_X86_64, ET_EXEC, PT_NOTE, "amd64", true},
        {"static-pie", EM_AARCH64, ET_DYN, PT_DYNAMIC, "arm64", true},
        {"dynamic", EM_X86_64, ET_DYN, PT_INTERP, "amd64", false},
        {"object file", EM_X86_64, ET_REL, PT_NOTE, "amd64", false},
        {"unknown processor", EM_SPARC, ET_EXEC, PT_NOTE, "", true},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct program program = make_program(rows[i].machine, rows[i].type, rows[i].segment);
        struct elf_file file;
        assert_int_equal(elf_file_read(&program, sizeof(program), &file), 0);
        assert_string_equal(file.processor, rows[i].processor);
        if (file.is_static != rows[i].is_static) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void a_part_names_the_processor_alone(void **state)
{
    (void)state;
    struct program program = make_program(EM_X86_64, ET_EXEC, PT_NOTE);
    struct elf_file file;
    for (size_t length = 0; length < sizeof(program); length++) {
        bool whole_header = length >= sizeof(program.header);
        assert_int_equal(elf_file_read(&program, length, &file), whole_header ? 0 : -1);
        assert_false(whole_header && file.is_static);
    }
    program.header.e_phoff = UINT64_MAX - 8;
    assert_int_equal(elf_file_read(&program, sizeof(program), &file), 0);
    assert_false(file.is_static);
    program.header.e_ident[0] = 0;
    assert_int_equal(elf_file_read(&program, sizeof(program), &file), -1);
}

static void finds_busybox(void **state)
{
    (void)state;
    struct program program = make_program(EM_X86_64, ET_EXEC, PT_NOTE);
    struct program dynamic = make_program(EM_X86_64, ET_DYN, PT_INTERP);
    char good[256], bad[256], missing[] = "/nonexistent", none[] = "none";
    (void)snprintf(good, sizeof(good), "%s",
                   rows_file("good", (const char *)&program, sizeof(program)));
    (void)snprintf(bad, sizeof(bad), "%s",
                   rows_file("bad", (const char *)&dynamic, sizeof(dynamic)));
    const struct {
        char *path;
        const char *processor;
        int found;
    } rows[] = {{good, "amd64", 1},    {good, "arm64", 0}, {bad, "amd64", 0},
                {missing, "amd64", 0}, {none, "amd64", 0}, {NULL, "amd64", 0}};
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct config config = {.helper = {.busybox = rows[i].path}};
        struct buffer out;
        struct error err;
        buffer_init(&out, 1UL << 16);
        assert_int_equal(elf_file_busybox(&config, rows[i].processor, &out, &err), rows[i].found);
        assert_int_equal(out.length, rows[i].found == 1 ? sizeof(program) : 0);
        buffer_done(&out);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_processor_and_linking),
        cmocka_unit_test(a_part_names_the_processor_alone),
        cmocka_unit_test(finds_busybox),
    };
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
