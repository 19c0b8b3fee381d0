#include "io/temporary_folder.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "core/error.h"

namespace plasticity {

TemporaryFolder::TemporaryFolder() {
    std::error_code failure;
    const std::filesystem::path root = std::filesystem::temp_directory_path(failure);
    std::string name = (root / "plasticity-XXXXXX").string();
    if (failure || mkdtemp(name.data()) == nullptr)
        throw Error(ErrorKind::kIo, fmt::format("{}: cannot make a temporary folder: {}; set TMPDIR to one that can be "
                                                "written to",
                                                root.string(), failure ? failure.message() : system_reason(errno)));
    path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace plasticity
