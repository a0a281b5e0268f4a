// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes the fuzzer's first inputs into the folder given: without a valid start it would hardly get
// past the magic numbers.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "damaged_elf.h"
#include "elf_builder.h"

namespace {

void write_seed(const std::string& path, char kind, const std::vector<std::byte>& bytes) {
    std::ofstream file(path, std::ios::binary);
    file.put(kind);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
}

template <typename T>
void write_damaged(const std::string& prefix, char kind, std::uint64_t base) {
    for (const jumpback::test::DamagedFile& damaged : jumpback::test::damaged_kernels<T>(base)) {
        write_seed(prefix + damaged.name, kind, damaged.bytes);
    }
}

std::vector<std::byte> small_bzimage() {
    std::vector<std::byte> image(std::size_t{2} * 512 + 16);
    const auto put = [&](std::size_t at, std::uint64_t value, std::size_t width) {
        std::memcpy(image.data() + at, &value, width);
    };
    put(0x1f1, 1, 1);
    put(0x1f4, 1, 4);
    put(0x1fe, 0xaa55, 2);
    std::memcpy(image.data() + 0x202, "HdrS", 4);
    put(0x206, 0x020f, 2);
    put(0x20e, 0x100, 2);
    return image;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    const std::string folder = argv[1];
    using namespace jumpback::test;
    write_seed(folder + "/elf64", 'V', small_kernel<Elf64Types>(kBase64).build());
    write_seed(folder + "/elf32", 'V', small_kernel<Elf32Types>(kBase32).build());
    for (const char kind : {'V', 'F'}) {
        write_seed(folder + "/config-" + kind, kind,
                   kernel_with_config(gzip("CONFIG_KEXEC_JUMP=y\n"), "IKCFG_ED"));
        write_damaged<Elf64Types>(folder + "/elf64-" + kind + "-", kind, kBase64);
        write_damaged<Elf32Types>(folder + "/elf32-" + kind + "-", kind, kBase32);
    }
    write_seed(folder + "/bzimage", 'B', small_bzimage());
    return 0;
}
