#include "fuzz_target.h"
#include "ipc/job.h"
#include "ipc/parameters.h"
#include "ipc/rpc_message.h"

namespace plasticity::fuzz {

/// What clients send to `plasticity ipc`, up to the command lines that a job would run; and a job's file.
void run_rpc_request(std::span<const std::byte> input) {
    const IpcLimits limits;
    const std::string_view line(reinterpret_cast<const char*>(input.data()), input.size());
    const RpcRequest request = parse_rpc_request(line, limits);
    if (request.failure) {
        require(!rpc_failure(request.id, *request.failure).empty(), "a refusal is an answer");
    } else if (const Method* method = find_method(request.method)) {
        accepts({ErrorKind::kUsage, ErrorKind::kMalformed}, [&] {
            const nlohmann::json parameters = check_parameters(*method, request.params, {});
            for (const MethodStep& step : method->steps(parameters))
                for (const std::string& argument : step.arguments)
                    require(argument.find('\0') == std::string::npos, "arguments hold no NUL");
            method->promise(parameters);
        });
    }
    accepts({ErrorKind::kMalformed}, [&] { job_to_text(job_from_text(line, "job")); });
}

}  // namespace plasticity::fuzz
