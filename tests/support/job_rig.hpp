#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sluice/job_set.hpp"
#include "support/temp_dir.hpp"

namespace sluice::test {

/// Jobs in a temporary folder, for tests of the files that a job writes.
struct job_rig : testing::Test {
  temp_dir dir;
  job_options lines;
  output_options output;
  price_table prices = price_table::built_in();

  job_rig() { output.durable = durability::none; }

  std::unique_ptr<job_set> open(std::vector<std::string> names = {"x.jsonl"}) {
    for (auto& name : names) name = dir / name;
    return std::make_unique<job_set>(names, lines, output, prices);
  }

  /// The result of the request's attempt with this number, without an outcome.
  static result result_for(const request& asked, std::uint32_t attempt) {
    result finished;
    finished.job = asked.job;
    finished.line = asked.line;
    finished.custom_id = asked.custom_id;
    finished.target = asked.target;
    finished.model = asked.model;
    finished.digest = asked.digest;
    finished.attempts = attempt;
    finished.streamed = asked.streamed;
    finished.started_at = 1.7e9;
    finished.latency_ms = 100;
    return finished;
  }
};

}  // namespace sluice::test
