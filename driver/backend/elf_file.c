/* SPDX-License-Identifier: MIT */
#include "driver/backend/elf_file.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/fd.h"
#include "common/log.h"

static const struct {
    uint16_t machine;
    const char *name;
} processors[] = {{EM_X86_64, "amd64"}, {EM_AARCH64, "arm64"}, {EM_386, "386"},
                  {EM_ARM, "arm"},      {EM_PPC64, "ppc64le"}, {EM_S390, "s390x"},
                  {EM_RISCV, "riscv64"}};

/* Whether all program headers are within the bytes, and none names an interpreter. */
static bool has_no_interpreter(const char *bytes, size_t length, const Elf64_Ehdr *header)
{
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
        header->e_phoff > length ||
        header->e_phnum > (length - header->e_phoff) / sizeof(Elf64_Phdr)) {
        return false;
    }
    for (size_t i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, bytes + header->e_phoff + i * sizeof(segment), sizeof(segment));
        if (segment.p_type == PT_INTERP) {
            return false;
        }
    }
    return true;
}

int elf_file_read(const void *bytes, size_t length, struct elf_file *out_file)
{
    Elf64_Ehdr header; /* 'e_type' and 'e_machine' have the same offsets in 32-bit headers */
    if (length < sizeof(header) || memcmp(bytes, ELFMAG, SELFMAG) != 0) {
        return -1;
    }
    memcpy(&header, bytes, sizeof(header));
    *out_file = (struct elf_file){.is_static = false};
    for (size_t i = 0; i < sizeof(processors) / sizeof(processors[0]); i++) {
        if (processors[i].machine == header.e_machine) {
            (void)snprintf(out_file->processor, sizeof(out_file->processor), "%s",
                           processors[i].name);
        }
    }
    bool is_program = header.e_type == ET_EXEC || header.e_type == ET_DYN;
    out_file->is_static = is_program && header.e_ident[EI_CLASS] == ELFCLASS64 &&
                          header.e_ident[EI_DATA] == ELFDATA2LSB &&
                          has_no_interpreter(bytes, length, &header);
    return 0;
}

static int check_busybox(const char *path, const char *processor, const struct buffer *file,
                         struct error *err)
{
    struct elf_file program;
    if (elf_file_read(file->bytes, file->length, &program) < 0 || !program.is_static) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is not a static program", path);
    }
    return strcmp(program.processor, processor) == 0
               ? 0
               : error_set(err, ERROR_USAGE, 0, "'%s' is for %s, but the image is for %s", path,
                           program.processor[0] == '\0' ? "another processor" : program.processor,
                           processor);
}

int elf_file_busybox(const struct config *config, const char *processor, struct buffer *out,
                     struct error *err)
{
    char place[CONFIG_PLACE_BYTES];
    const char *path = config->helper.busybox;
    if (path == NULL || strcmp(path, "none") == 0) {
        return 0;
    }
    bool configured = config_place(config, &config->helper.busybox, "", place)[0] != '\0';
    if (fd_read_file(path, out, err) == 0 && check_busybox(path, processor, out, err) == 0) {
        return 1;
    }
    buffer_clear(out);
    if (!configured) {
        log_debug("no shell for images without one: %s", err->message);
        return 0;
    }
    (void)error_wrap(err, "%s", place);
    err->kind = ERROR_USAGE;
    return error_hint(err, "name the file of the package busybox-static, or \"none\"");
}
