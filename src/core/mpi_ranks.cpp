#include "core/mpi_ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/error.h"

#ifdef PLASTICITY_MPI
#include <mpi.h>
#endif

namespace plasticity {
namespace {

/// What launchers of Open MPI, MPICH and its kin, and Slurm say of how many processes they started.
int started_processes() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
        if (const char* value = std::getenv(name)) {
            int n = 1;
            std::from_chars(value, value + std::strlen(value), n);
            return n;
        }
    return 1;
}

#ifdef PLASTICITY_MPI

bool is_running() {
    int initialized = 0, finalized = 0;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    return initialized != 0 && finalized == 0;
}

void require_mpi_success(int status, const char* what) {
    if (status == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(status, text, &length);
    throw Error(ErrorKind::kIo, fmt::format("MPI: {}: {}", what, std::string(text, static_cast<std::size_t>(length))));
}

class MpiRanks : public Ranks {
public:
    MpiRanks() {
        int provided = 0;
        require_mpi_success(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "cannot start");
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
        MPI_Comm_size(MPI_COMM_WORLD, &size_);
    }

    int rank() const override { return rank_; }
    int size() const override { return size_; }

    std::vector<std::vector<std::byte>> exchange(std::span<const std::byte> mine) override {
        std::vector<std::uint64_t> lengths(static_cast<std::size_t>(size_));
        const std::uint64_t length = mine.size();
        require_mpi_success(MPI_Allgather(&length, 1, MPI_UINT64_T, lengths.data(), 1, MPI_UINT64_T, MPI_COMM_WORLD),
                            "cannot exchange lengths");
        std::vector<std::vector<std::byte>> all;
        for (int owner = 0; owner < size_; ++owner) {
            std::vector<std::byte>& bytes = all.emplace_back(lengths[static_cast<std::size_t>(owner)]);
            if (owner == rank_) bytes.assign(mine.begin(), mine.end());
            broadcast(bytes, owner);
        }
        return all;
    }

private:
    /// In pieces: MPI counts in int.
    static void broadcast(std::span<std::byte> bytes, int owner) {
        constexpr std::size_t kPiece = std::size_t{1} << 28;
        for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
            const auto n = static_cast<int>(std::min(kPiece, bytes.size() - at));
            require_mpi_success(MPI_Bcast(bytes.data() + at, n, MPI_BYTE, owner, MPI_COMM_WORLD), "cannot exchange");
        }
    }

    int rank_ = 0, size_ = 1;
};

Ranks& ranks_of_mpi() {
    static MpiRanks ranks;
    return ranks;
}

#else

Ranks& ranks_of_mpi() {
    throw Error(ErrorKind::kUsage,
                fmt::format("this process was started as one of {}, but this build has no MPI; build it with "
                            "-DPLASTICITY_MPI=ON, or score parts with --slice and add them up with merge",
                            started_processes()));
}

#endif

}  // namespace

Ranks& started_ranks() {
    return started_processes() > 1 ? ranks_of_mpi() : alone();
}

void leave_ranks([[maybe_unused]] int exit_code) {
#ifdef PLASTICITY_MPI
    if (!is_running()) return;
    if (exit_code == 0)
        MPI_Finalize();
    else
        MPI_Abort(MPI_COMM_WORLD, exit_code);
#endif
}

}  // namespace plasticity
