// SPDX-License-Identifier: GPL-2.0-or-later
//
// The flags argument of kexec_load: mainline's bits (include/uapi/linux/kexec.h) and, in the gap
// that mainline and kexec-tools leave, the stage of a staged load. The stage bits are this
// project's: the 2008 patch's numbers are lost. docs/kexec-model.md is the reference for kernel
// patches and loaders.
#pragma once

#include <cstdint>

namespace jumpback::kimage {

inline constexpr std::uint64_t kKexecOnCrash = 0x1;
inline constexpr std::uint64_t kKexecPreserveContext = 0x2;
inline constexpr std::uint64_t kKexecUpdateElfcorehdr = 0x4;
inline constexpr std::uint64_t kKexecCrashHotplugSupport = 0x8;
// 0x10 is KEXEC_DEBUG of kexec-tools; it never reaches the kernel.

inline constexpr std::uint64_t kKexecArchMask = 0xffff'0000;
inline constexpr std::uint64_t kKexecArchDefault = 0;
inline constexpr std::uint64_t kKexecArch386 = 3U << 16;
inline constexpr std::uint64_t kKexecArchX86_64 = 62U << 16;

// KEXEC_STAGE_*: a field of two bits. 0 is today's call, so old loaders mean KS_full; a kernel
// without staged loading refuses the others with -EINVAL, so a loader can probe.
inline constexpr std::uint64_t kKexecStageMask = 0x300;
enum class Stage : std::uint64_t {
    kFull = 0x000,
    kStart = 0x100,
    kMid = 0x200,
    kFinal = 0x300,
};
constexpr Stage stage_of(std::uint64_t flags) { return Stage{flags & kKexecStageMask}; }

}  // namespace jumpback::kimage
