#pragma once

#include <filesystem>
#include <string>

#include "io/hub_name.h"

namespace plasticity {

/// Where huggingface_hub keeps what it has downloaded: HF_HUB_CACHE, else HF_HOME/hub, else
/// XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. A leading "~/" stands for the home folder.
std::filesystem::path hub_cache_folder();

/// The snapshot's folder where it holds a model in safetensors form, else its one GGUF file; nothing is downloaded.
///
///     <cache>/models--OWNER--NAME/refs/<revision>            a file that holds a commit
///                                 snapshots/<commit>/<file>  links to ../../blobs/<hash>
///                                 blobs/<hash>[.incomplete]
///
/// Source: "Hub Local Cache", https://huggingface.co/docs/hub/local-cache
/// @throws Error (kMissing when it is not there or not whole, with where was looked and what would fetch it; kUsage
/// when
///         several GGUF files could be meant; kMalformed when the cache's own files are not what they must be; kIo)
std::filesystem::path find_in_hub_cache(const HubName& name, const std::filesystem::path& cache);

/// "NAME" where `folder` is a snapshot of a hub cache, else the folder's own name: what a model in it is called when
/// its files do not say.
std::string model_name_of_folder(const std::filesystem::path& folder);

}  // namespace plasticity
