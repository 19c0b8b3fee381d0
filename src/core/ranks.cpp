#include "core/ranks.h"

namespace plasticity {
namespace {

class Alone : public Ranks {
public:
    int rank() const override { return 0; }
    int size() const override { return 1; }
    std::vector<std::vector<std::byte>> exchange(std::span<const std::byte> mine) override {
        return {std::vector<std::byte>(mine.begin(), mine.end())};
    }
};

}  // namespace

Ranks& alone() {
    static Alone ranks;
    return ranks;
}

}  // namespace plasticity
