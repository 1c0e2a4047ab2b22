#pragma once

#include <memory>
#include <string>

#include "dataset/table.hpp"
#include "dataset/text_source.hpp"

namespace sluice::dataset {

/// A table in JSONL: each line is an object, and its members are the cells.
std::unique_ptr<table_reader> open_jsonl(const std::string& name, text_source text,
                                         const table_options& options);

}  // namespace sluice::dataset
