// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/version.h"

#include <charconv>

namespace jumpback::jump {

Result<KernelVersion> parse_version(std::string_view release) {
    KernelVersion version;
    const char* const end = release.data() + release.size();
    const auto [dot, error] = std::from_chars(release.data(), end, version.major);
    if (error == std::errc{} && dot != end && *dot == '.') {
        const auto [rest, failed] = std::from_chars(dot + 1, end, version.minor);
        if (failed == std::errc{} && (rest == end || *rest == '.' || *rest == '-')) {
            return version;
        }
    }
    return Error{"kernel release '" + std::string(release) + "'",
                 "expected one like 6.1 or 6.1.192-jumpback"};
}

std::string to_string(KernelVersion version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor);
}

}  // namespace jumpback::jump
