// SPDX-License-Identifier: GPL-2.0-or-later
// A TCG plugin that counts the guest's instructions, of all CPUs, into a file that the rig maps.
//
// Counted by translated block, as it is entered: one that an interrupt or exception leaves early
// counts whole, and each round of a repeated string instruction counts as one. With several CPUs
// the addition is not atomic and the count is a little low.
//
// Debian packages no header of the plugin interface: what is used of it is declared here, by
// docs/devel/tcg-plugins.rst of QEMU 7.2, version 1 of the interface.
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* block, enum qemu_plugin_op op,
                                              void* counter, uint64_t addend);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                           void (*callback)(plugin_id id,
                                                            struct qemu_plugin_tb* block));

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(plugin_id id, const void* info, int count, char** arguments);

static uint64_t* counter;

static void on_translation(plugin_id id, struct qemu_plugin_tb* block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, counter,
                                             qemu_plugin_tb_n_insns(block));
}

// `arguments`: "out=FILE", which has room for the counter.
int qemu_plugin_install(plugin_id id, const void* info, int count, char** arguments) {
    static const char key[] = "out=";
    (void)info;
    if (count != 1 || strncmp(arguments[0], key, sizeof key - 1) != 0) {
        fprintf(stderr, "insn_count: expected one argument, out=FILE\n");
        return -1;
    }
    const char* path = arguments[0] + sizeof key - 1;
    const int file = open(path, O_RDWR | O_CLOEXEC);
    void* mapped = MAP_FAILED;
    if (file >= 0)
        mapped = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "insn_count: %s: %s\n", path, strerror(errno));
        return -1;
    }
    close(file);
    counter = mapped;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
