// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes small valid images of every kind into the folder given: the fuzzer's seeds.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "model/image/tests/image_fixture.h"

using namespace jumpback;
using namespace jumpback::swsusp;

namespace {

bool write_seed(const std::filesystem::path& folder, Arch arch, Compression compression,
                bool modern) {
    std::mt19937_64 random(static_cast<std::uint64_t>(compression) * 2 + (modern ? 1 : 0));
    swsusp::testing::SpecShape shape;
    shape.arch = arch;
    shape.frames = 40;  // two units
    shape.zero_pages = modern;
    shape.md5_digest = !modern && compression == Compression::lzo;
    const ImageSpec spec = swsusp::testing::make_spec(shape, random);
    Placement placement;
    placement.compression = compression;
    placement.late_map_pages = modern;
    if (modern) {
        placement.scatter_seed = 7;
        placement.hardware_signature = 0x1234;
    }
    std::vector<std::byte> disk(48 * jumpback::kPageSize);
    if (!write_image(disk, spec, placement).ok()) {
        return false;
    }
    const std::string name =
        cat(name_of(arch), "-", name_of(compression), modern ? "-new" : "-old");
    std::ofstream file(folder / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(disk.data()),
               static_cast<std::streamsize>(disk.size()));
    return file.good();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: jumpback_image_seeds FOLDER\n";
        return 2;
    }
    const std::filesystem::path folder(argv[1]);
    std::filesystem::create_directories(folder);
    for (const Arch arch : {Arch::x86_64, Arch::i386}) {
        for (const Compression compression :
             {Compression::none, Compression::lzo, Compression::lz4}) {
            for (const bool modern : {false, true}) {
                if (!write_seed(folder, arch, compression, modern)) {
                    std::cerr << "cannot write a seed into " << folder << "\n";
                    return 1;
                }
            }
        }
    }
    return 0;
}
