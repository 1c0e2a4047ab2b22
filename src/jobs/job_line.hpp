#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "json/members.hpp"
#include "sluice/config.hpp"
#include "sluice/error.hpp"
#include "sluice/job.hpp"

namespace sluice {

/// A line of a job that can never be sent.
struct bad_line {
  std::uint64_t line = 0;
  std::string custom_id;  ///< as of a request
  errc code = errc::invalid_json_line;
  std::string message;
  bool lacks_model = false;  ///< neither the line nor an option names a model
};

/// A line of more bytes than job lines may have.
bad_line line_too_long(std::uint64_t number, const job_options& options);
/// A line whose id an earlier one of the job has.
bad_line duplicate_line(std::uint64_t number, std::string custom_id);

/// The choices that a whole reply has: `n`, for each prompt where the completions endpoint is given
/// several. Either member of the body may be null: it is not there. Pure.
unsigned choices_asked(const json_member* n, const json_member* prompt, endpoint target);

/// Turns one line of a job (without its line end) into the request to send, in any of the three
/// forms: the OpenAI Batch form, a bare body, a prompt. The body keeps its bytes but for what an
/// option changes: a model or a system message where the line has none, and the stream fields at
/// the end. Pure.
boost::system::result<request, bad_line> parse_job_line(std::string_view line, std::uint64_t number,
                                                        const job_options& options);

}  // namespace sluice
