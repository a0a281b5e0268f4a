// SPDX-License-Identifier: GPL-2.0-or-later
//
// Work that may bring down its process, done in a child: Unicorn aborts when it has to translate
// certain senseless instructions, and a damaged kernel may hold any.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "model/result.h"

namespace jumpback::sequence {

// What `work` returned in a child process. An Error that names `label` if the child died, or had to
// be killed because `limit` passed.
Result<std::string> run_isolated(const std::string& label, std::chrono::seconds limit,
                                 const std::function<Result<std::string>()>& work);

}  // namespace jumpback::sequence
