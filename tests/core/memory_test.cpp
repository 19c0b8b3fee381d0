#include "core/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace plasticity {
namespace {

#ifdef __linux__  // other systems may not tell
TEST(AvailableMemory, IsSomethingAndNoMoreThanTheMachineHas) {
    const auto available = available_memory_bytes();
    ASSERT_TRUE(available.has_value());
    const auto all =
        static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    EXPECT_GT(*available, 0u);
    EXPECT_LE(*available, all);
}
#endif

}  // namespace
}  // namespace plasticity
