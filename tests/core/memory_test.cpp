#include "core/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace plasticity {
namespace {

TEST(AvailableMemory, IsSomethingAndNoMoreThanTheMachineHas) {
    const auto available = available_memory_bytes();
    if (!available) GTEST_SKIP() << "this system does not tell";
    const auto all =
        static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    EXPECT_GT(*available, 0u);
    EXPECT_LE(*available, all);
}

}  // namespace
}  // namespace plasticity
