// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/diff.h"

#include <cstring>

namespace jumpback::swsusp {
namespace {

// Walks an image's frames together with their bytes; looking each one up would cost a search.
class Cursor {
  public:
    explicit Cursor(const HibernationImage& image) : image_(image) {}

    [[nodiscard]] bool done() const { return index_ == image_.pfns().size(); }
    [[nodiscard]] Pfn pfn() const { return image_.pfns()[index_]; }
    [[nodiscard]] ByteView page() const {
        return zero() ? image_.page(pfn()) : image_.data().subspan(stored_ * kPageSize, kPageSize);
    }
    void next() {
        stored_ += zero() ? 0 : 1;
        ++index_;
    }

  private:
    [[nodiscard]] bool zero() const { return image_.zero_flags()[index_] != 0; }
    const HibernationImage& image_;
    std::size_t index_ = 0;
    std::size_t stored_ = 0;
};

PageDifference compare(Pfn pfn, ByteView a, ByteView b) {
    PageDifference found;
    found.pfn = pfn;
    for (std::size_t i = 0; i < kPageSize; ++i) {
        if (a[i] != b[i]) {
            if (found.count == 0) {
                found.first_offset = static_cast<std::uint32_t>(i);
                found.a = std::to_integer<std::uint8_t>(a[i]);
                found.b = std::to_integer<std::uint8_t>(b[i]);
            }
            ++found.count;
        }
    }
    return found;
}

}  // namespace

ImageDiff diff_images(const HibernationImage& a, const HibernationImage& b) {
    ImageDiff diff;
    Cursor left(a);
    Cursor right(b);
    while (!left.done() || !right.done()) {
        if (right.done() || (!left.done() && left.pfn() < right.pfn())) {
            diff.only_a.push_back(left.pfn());
            left.next();
        } else if (left.done() || right.pfn() < left.pfn()) {
            diff.only_b.push_back(right.pfn());
            right.next();
        } else {
            if (std::memcmp(left.page().data(), right.page().data(), kPageSize) == 0) {
                ++diff.equal;
            } else {
                diff.differing.push_back(compare(left.pfn(), left.page(), right.page()));
            }
            left.next();
            right.next();
        }
    }
    return diff;
}

}  // namespace jumpback::swsusp
