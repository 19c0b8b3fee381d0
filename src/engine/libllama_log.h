#pragma once

#include <mutex>
#include <string>

namespace plasticity {

/// Catches what libllama logs, through its one process-wide callback, while this lives: warnings and errors explain a
/// failure. Afterwards libllama is silent. One at a time; others wait.
class LibllamaLog {
public:
    LibllamaLog();
    ~LibllamaLog();
    LibllamaLog(const LibllamaLog&) = delete;
    LibllamaLog& operator=(const LibllamaLog&) = delete;

    /// What was said so far, fit for a message.
    std::string text() const;

private:
    std::lock_guard<std::mutex> lock_;
};

/// libllama and ggml say nothing on stderr from now on: how many matrices were rearranged is nobody's business.
void silence_libllama();

}  // namespace plasticity
