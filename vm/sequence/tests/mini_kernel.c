// SPDX-License-Identifier: GPL-2.0-or-later
//
// A kernel in miniature: only what a sequence check looks at, in our own words. Each -D makes one
// fault or one way in which kernels differ. Linked at a kernel's addresses, never run as a whole.
//
//   MINI_RELEASE      "6.1.0-mini"
//   MINI_LABEL        the failed device suspend skips the resume of devices (B4)
//   MINI_MUTEX        takes system_transition_mutex (B3), by lock_system_sleep() or mutex_lock()
//   MINI_LIVEUPDATE   live update state is serialised on both branches (B12)
//   MINI_GFP          a second pm_restore_gfp_mask() (K14)
//   MINI_OLD_MUTEX    kexec_mutex in place of the atomic lock
//   MINI_NO_JUMP      CONFIG_KEXEC_JUMP off
//   MINI_CONSOLE      CONFIG_VT_CONSOLE_SLEEP on
//   MINI_NO_DUMP      a jump does not dump the log (5.10)
//   MINI_UP           CONFIG_SMP off
//   MINI_PARAVIRT     interrupts through a table of functions
//   MINI_POPF         interrupts through pushf and popf
//   MINI_INDIRECT     one step through a function pointer; MINI_RETPOLINE: through a thunk
//   MINI_LOOP, MINI_TRAP, MINI_STRANGE   hangs; raises an exception; calls what no kernel calls

typedef unsigned char bool8;
#define KEEP __attribute__((noinline, used, noipa))
// Every call is answered by script, so no body ever runs; they differ, or the linker might give two
// names one address.
#define FUNCTION(number, result, name, ...) \
    KEEP result name(__VA_ARGS__) {         \
        __asm__ volatile(".long " #number); \
        return (result)0;                   \
    }

const char linux_banner[] = "Linux version " MINI_RELEASE " (mini@kernel) (gcc) #1\n";

struct mini_image {
    long words[21];
    unsigned other : 1;
    unsigned preserve : 1;
};
struct mini_image* kexec_image;
bool8 kexec_in_progress;

FUNCTION(1, int, freeze_processes, void)
FUNCTION(2, int, thaw_processes, void)
FUNCTION(3, int, dpm_suspend_start, int event)
FUNCTION(4, int, dpm_suspend_end, int event)
FUNCTION(5, int, dpm_resume_start, int event)
FUNCTION(6, int, dpm_resume_end, int event)
FUNCTION(7, int, syscore_suspend, void)
FUNCTION(8, int, syscore_resume, void)
FUNCTION(9, int, suspend_console, void)
FUNCTION(10, int, resume_console, void)
FUNCTION(11, int, kmsg_dump, int reason)
FUNCTION(12, int, machine_kexec, struct mini_image* image)
FUNCTION(13, int, kernel_restart_prepare, const char* command)
FUNCTION(14, int, migrate_to_reboot_cpu, void)
FUNCTION(15, int, machine_shutdown, void)
FUNCTION(16, int, _printk, const char* text)
FUNCTION(17, int, cpu_hotplug_enable, void)

#ifdef MINI_UP
#define DISABLE_CPUS() 0
#define ENABLE_CPUS() ((void)0)
#else
FUNCTION(18, int, freeze_secondary_cpus, int first)
FUNCTION(19, int, thaw_secondary_cpus, void)
#define DISABLE_CPUS() freeze_secondary_cpus(0)
#define ENABLE_CPUS() thaw_secondary_cpus()
#endif

#ifdef MINI_CONSOLE
FUNCTION(20, int, pm_prepare_console, void)
FUNCTION(21, int, pm_restore_console, void)
#define PREPARE_CONSOLE() pm_prepare_console()
#define RESTORE_CONSOLE() pm_restore_console()
#else
#define PREPARE_CONSOLE() ((void)0)
#define RESTORE_CONSOLE() ((void)0)
#endif

FUNCTION(22, int, mutex_lock, void* mutex)
FUNCTION(23, int, mutex_unlock, void* mutex)
FUNCTION(24, int, mutex_trylock, void* mutex)
FUNCTION(25, int, lock_system_sleep, void)
FUNCTION(26, int, unlock_system_sleep, void)
FUNCTION(27, int, pm_restore_gfp_mask, void)
FUNCTION(28, int, panic_now, void)
#ifdef MINI_LIVEUPDATE
FUNCTION(29, int, liveupdate_reboot, void)
#endif
int system_transition_mutex;

#ifdef MINI_OLD_MUTEX
int kexec_mutex;
#define TRY_LOCK() mutex_trylock(&kexec_mutex)
#define UNLOCK() mutex_unlock(&kexec_mutex)
#else
int __kexec_lock;
static inline int TRY_LOCK(void) { return __sync_bool_compare_and_swap(&__kexec_lock, 0, 1); }
static inline void UNLOCK(void) { __atomic_store_n(&__kexec_lock, 0, __ATOMIC_RELEASE); }
#endif

#if defined(MINI_PARAVIRT)
KEEP void pv_native_irq_disable(void) { __asm__ volatile("cli" : : : "memory"); }
KEEP void pv_native_irq_enable(void) { __asm__ volatile("sti" : : : "memory"); }
struct {
    void (*off)(void), (*on)(void);
} pv_ops = {pv_native_irq_disable, pv_native_irq_enable};
#define IRQS_OFF() pv_ops.off()
#define IRQS_ON() pv_ops.on()
#elif defined(MINI_POPF)
static inline void set_flags(unsigned long keep, unsigned long add) {
    unsigned long flags;
    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    __asm__ volatile("push %0; popf" : : "r"((flags & keep) | add) : "memory", "cc");
}
#define IRQS_OFF() set_flags(~0x200UL, 0)
#define IRQS_ON() set_flags(~0UL, 0x200)
#else
#define IRQS_OFF() __asm__ volatile("cli" : : : "memory")
#define IRQS_ON() __asm__ volatile("sti" : : : "memory")
#endif

#ifdef MINI_INDIRECT
int (*volatile start_devices)(int) = dpm_suspend_start;
#define SUSPEND_START start_devices
#ifdef MINI_RETPOLINE
__asm__(
    ".globl __x86_indirect_thunk_rax\n.type __x86_indirect_thunk_rax, @function\n"
    "__x86_indirect_thunk_rax:\n call 1f\n2: pause\n lfence\n jmp 2b\n1: mov %rax, (%rsp)\n ret\n"
    ".size __x86_indirect_thunk_rax, . - __x86_indirect_thunk_rax\n");
#endif
#else
#define SUSPEND_START dpm_suspend_start
#endif

// How far a jump got, for undo().
enum reached { NOTHING, DEVICES_FAILED, DEVICES, CPUS, IRQS, ALL };

static inline void undo(enum reached how_far) {
    if (how_far >= ALL) {
        syscore_resume();
    }
    if (how_far >= IRQS) {
        IRQS_ON();
    }
    if (how_far >= CPUS) {
        ENABLE_CPUS();
        dpm_resume_start(0x40);
    }
    if (how_far >= DEVICES) {
        dpm_resume_end(0x40);
    }
#ifdef MINI_GFP
    pm_restore_gfp_mask();
#endif
    if (how_far > NOTHING) {
        resume_console();
        thaw_processes();
    }
    RESTORE_CONSOLE();
}

static inline int leave_and_come_back(void) {
    int error;
    PREPARE_CONSOLE();
    if (freeze_processes()) {
        RESTORE_CONSOLE();
        return -16;
    }
    suspend_console();
#ifdef MINI_LOOP
    for (;;) {
        __asm__ volatile("" : : : "memory");
    }
#endif
#ifdef MINI_TRAP
    __asm__ volatile("ud2");
#endif
#ifdef MINI_STRANGE
    panic_now();
#endif
    error = SUSPEND_START(1);
    if (error) {
#ifdef MINI_LABEL
        undo(DEVICES_FAILED);
#else
        undo(DEVICES);
#endif
        return error;
    }
    error = dpm_suspend_end(1);
    if (error) {
        undo(DEVICES);
        return error;
    }
    error = DISABLE_CPUS();
    if (error) {
        undo(CPUS);
        return error;
    }
    IRQS_OFF();
    error = syscore_suspend();
    if (error) {
        undo(IRQS);
        return error;
    }
#ifndef MINI_NO_DUMP
    kmsg_dump(4);
#endif
    machine_kexec(kexec_image);
    undo(ALL);
    return 0;
}

KEEP int kernel_kexec(void) {
    int error = -22;
    if (!TRY_LOCK()) {
        return -16;
    }
    if (kexec_image) {
        error = 0;
#ifdef MINI_LIVEUPDATE
        error = liveupdate_reboot();
#endif
#ifndef MINI_NO_JUMP
        if (!error && kexec_image->preserve) {
#ifdef MINI_MUTEX
            MINI_MUTEX;
#endif
            error = leave_and_come_back();
#ifdef MINI_MUTEX
            MINI_MUTEX_END;
#endif
        } else
#endif
            if (!error) {
            kexec_in_progress = 1;
            kernel_restart_prepare("mini");
            migrate_to_reboot_cpu();
            cpu_hotplug_enable();
            _printk("mini\n");
            machine_shutdown();
            kmsg_dump(4);
            machine_kexec(kexec_image);
        }
    }
    UNLOCK();
    return error;
}
