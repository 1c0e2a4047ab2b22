#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "store/batch_record.hpp"
#include "store/file_record.hpp"

// The objects of OpenAI's Files and Batches API as JSON, made from records. Pure.

namespace sluice::server {

nlohmann::ordered_json file_object(const store::file_record& file);
/// With an object more, `sluice`: what the batch costs. `waits`: why a batch in progress does not
/// go on; empty: it does.
nlohmann::ordered_json batch_object(const store::batch_record& batch, const std::string& waits);
/// A page of a list.
nlohmann::ordered_json list_object(const std::vector<nlohmann::ordered_json>& data, bool has_more);

}  // namespace sluice::server
