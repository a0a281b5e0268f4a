// SPDX-License-Identifier: GPL-2.0-or-later
//
// Built kernels of the rig's cache as targets of the check.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "vm/relocate/target.h"
#include "vm/unicorn/tests/kernel_under_test.h"

namespace jumpback::relocate_check::test {

// The seed of random tests: printed with failures; JUMPBACK_TEST_SEED tries others.
inline std::uint64_t seed() {
    const char* own = std::getenv("JUMPBACK_TEST_SEED");
    return own == nullptr ? 20080711 : std::strtoull(own, nullptr, 0);
}

// Read once a process; nullptr if that kernel is not built.
inline std::shared_ptr<const Target> target_of(const std::string& name) {
    static std::map<std::string, std::shared_ptr<const Target>> found;
    const auto known = found.find(name);
    if (known != found.end()) {
        return known->second;
    }
    std::shared_ptr<const Target>& target = found[name];
    if (const std::optional<std::string> path = unicorn::test::vmlinux_of(name)) {
        Result<Target> opened = Target::open(*path);
        EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().message());
        if (opened) {
            target = std::make_shared<const Target>(std::move(opened).value());
        }
    }
    return target;
}

// A test on one kernel of the catalogue, skipped where it is not built.
class OnKernel : public testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        target_ = target_of(GetParam());
        if (target_ == nullptr) {
            GTEST_SKIP() << GetParam() << " is not built: jumpback kernel build";
        }
    }
    std::shared_ptr<const Target> target_;
};

inline std::string name_of_kernel(const testing::TestParamInfo<std::string>& one) {
    std::string name = one.param;
    for (char& letter : name) {
        letter = std::isalnum(static_cast<unsigned char>(letter)) != 0 ? letter : '_';
    }
    return name;
}

}  // namespace jumpback::relocate_check::test
