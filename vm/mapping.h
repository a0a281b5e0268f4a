// SPDX-License-Identifier: GPL-2.0-or-later
//
// A shared file mapping that is unmapped with its owner.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <span>
#include <utility>

namespace jumpback {

class Mapping {
  public:
    Mapping() = default;
    Mapping(void* address, std::size_t length)
        : address_(static_cast<std::byte*>(address)), length_(length) {}
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    Mapping(Mapping&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)),
          length_(std::exchange(other.length_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept {
        if (this != &other) {
            reset();
            address_ = std::exchange(other.address_, nullptr);
            length_ = std::exchange(other.length_, 0);
        }
        return *this;
    }
    ~Mapping() { reset(); }

    // Maps `length` bytes of `fd`, shared. Not valid() on failure, errno is set.
    static Mapping of_file(int fd, std::size_t length, bool writable) {
        const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
        void* address = ::mmap(nullptr, length, protection, MAP_SHARED, fd, 0);
        return address == MAP_FAILED ? Mapping() : Mapping(address, length);
    }

    [[nodiscard]] bool valid() const { return address_ != nullptr; }
    [[nodiscard]] std::byte* data() const { return address_; }
    [[nodiscard]] std::span<const std::byte> bytes() const { return {address_, length_}; }

  private:
    void reset() {
        if (address_ != nullptr) {
            ::munmap(address_, length_);
        }
    }
    std::byte* address_ = nullptr;
    std::size_t length_ = 0;
};

}  // namespace jumpback
