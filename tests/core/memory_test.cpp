#include "core/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

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

TEST(MachineMemory, IsNoLessThanWhatIsAvailable) {
    const auto machine = machine_memory_bytes(), available = available_memory_bytes();
    ASSERT_TRUE(machine.has_value() && available.has_value());
    EXPECT_LE(*machine,
              static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
    EXPECT_GE(*machine, *available);
}

TEST(PeakResidentBytes, GrowsWithWhatIsTouched) {
    constexpr std::size_t kMore = 64 << 20;
    const auto before = peak_resident_bytes();
    const std::vector<char> touched(kMore, 1);
    ASSERT_TRUE(before.has_value());
    EXPECT_GE(*peak_resident_bytes() + touched[0], *before);
    EXPECT_GE(*peak_resident_bytes(), kMore);
}
#endif

}  // namespace
}  // namespace plasticity
