// SPDX-License-Identifier: GPL-2.0-or-later
//
// A stand-in for a guest: a sparse RAM file that a test writes into.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "vm/ram_file.h"

namespace jumpback::test {

class SparseRam {
  public:
    SparseRam(std::string path, std::uint64_t size)
        : path_(std::move(path)),
          size_(size),
          fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        EXPECT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(size)), 0) << path_;
    }
    void put(std::uint64_t offset, int value) {
        const auto byte = static_cast<unsigned char>(value);
        EXPECT_EQ(::pwrite(fd_.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    }
    // Fills about `pages` pages, in runs, with random bytes; returns how many bytes are resident.
    [[nodiscard]] std::uint64_t fill_randomly(unsigned seed, unsigned pages) {
        std::mt19937 random(seed);
        std::vector<bool> resident(size_ / kPageSize);
        for (unsigned done = 0; done < pages;) {
            const std::size_t run = 1 + random() % 8;
            const std::size_t first = random() % resident.size();
            for (std::size_t page = first; page < std::min(first + run, resident.size()); ++page) {
                fill_page(page, random);
                resident[page] = true;
                ++done;
            }
        }
        return static_cast<std::uint64_t>(std::count(resident.begin(), resident.end(), true)) *
               kPageSize;
    }
    // Gives pages back, as a balloon does.
    void punch(const Extent& extent) {
        EXPECT_EQ(::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(extent.offset), static_cast<off_t>(extent.length)),
                  0);
    }
    [[nodiscard]] RamFile open() const {
        return RamFile::open(path_, {{Gpa{0}, 0, Bytes{size_}}}).value();
    }

  private:
    void fill_page(std::size_t page, std::mt19937& random) {
        std::vector<std::mt19937::result_type> words(kPageSize / 8);  // 8 bytes each
        std::generate(words.begin(), words.end(), std::ref(random));
        EXPECT_EQ(
            ::pwrite(fd_.get(), words.data(), kPageSize, static_cast<off_t>(page * kPageSize)),
            static_cast<ssize_t>(kPageSize));
    }
    std::string path_;
    std::uint64_t size_;
    UniqueFd fd_;
};

inline std::vector<Extent> extents_of(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const auto size = static_cast<std::uint64_t>(::lseek(fd.get(), 0, SEEK_END));
    return data_extents(fd.get(), size, path).value();
}

// The file's bytes by read(), which leaves holes alone.
inline std::vector<char> contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    std::vector<char> bytes(static_cast<std::size_t>(file.tellg()));
    file.seekg(0);
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    EXPECT_TRUE(file.good()) << path;
    return bytes;
}

}  // namespace jumpback::test
