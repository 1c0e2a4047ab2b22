#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "store/batch_record.hpp"
#include "store/file_record.hpp"

// The objects of OpenAI's Files and Batches API as JSON, made from records. Pure.

namespace sluice::server {

nlohmann::ordered_json file_object(const store::file_record& file);
/// Adds the object `sluice` to OpenAI's fields: what the batch costs. `waits`: why a batch in
/// progress is waiting; empty if it is not.
nlohmann::ordered_json batch_object(const store::batch_record& batch, const std::string& waits);
/// Returns one page of a list.
nlohmann::ordered_json list_object(const std::vector<nlohmann::ordered_json>& data, bool has_more);

}  // namespace sluice::server
