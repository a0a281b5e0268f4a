// SPDX-License-Identifier: GPL-2.0-or-later
//
// The names of what can be wrong with a page list.
#include "model/kimage/page_list.h"

namespace jumpback::kimage {

std::string_view name_of(Malformed kind) {
    switch (kind) {
        case Malformed::kUnknownWord:
            return "unknown-word";
        case Malformed::kAmbiguousWord:
            return "ambiguous-word";
        case Malformed::kNoEnd:
            return "no-end";
        case Malformed::kRunsOffPage:
            return "runs-off-page";
        case Malformed::kCycle:
            return "cycle";
        case Malformed::kListPageOutOfRam:
            return "list-page-out-of-ram";
        case Malformed::kHeadNoList:
            return "head-no-list";
        case Malformed::kSourceOutOfRam:
            return "source-out-of-ram";
        case Malformed::kSourceAboveLimit:
            return "source-above-limit";
        case Malformed::kSourceTwice:
            return "source-twice";
        case Malformed::kNoDestination:
            return "no-destination";
        case Malformed::kDestinationOutOfRam:
            return "destination-out-of-ram";
        case Malformed::kDestinationTwice:
            return "destination-twice";
        case Malformed::kSourceIsDestination:
            return "source-is-destination";
        case Malformed::kListPageIsDestination:
            return "list-page-is-destination";
        case Malformed::kListPageIsSource:
            return "list-page-is-source";
        case Malformed::kKeptFrameIsDestination:
            return "kept-frame-is-destination";
        case Malformed::kKeptFrameIsSource:
            return "kept-frame-is-source";
        case Malformed::kKeptFrameIsListPage:
            return "kept-frame-is-list-page";
        case Malformed::kLinkInsidePage:
            return "link-inside-page";
    }
    return "unknown";
}

}  // namespace jumpback::kimage
