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

/// A line of a job that cannot be sent.
struct bad_line {
  std::uint64_t line = 0;
  std::string custom_id;  ///< the same as for a request
  errc code = errc::invalid_json_line;
  std::string message;
  bool lacks_model = false;  ///< neither the line nor an option names a model
};

/// The error for a line that is longer than the limit for job lines.
bad_line line_too_long(std::uint64_t number, const job_options& options);
/// The error for a line whose id was used by an earlier line of the job.
bad_line duplicate_line(std::uint64_t number, std::string custom_id);

/// The number of choices in a complete reply: `n`, times the number of prompts if a completions
/// request has several. `n` and `prompt` may be null: the body does not have that member. Pure.
unsigned choices_asked(const json_member* n, const json_member* prompt, endpoint target);

/// Turns one line of a job (without its line end) into the request to send. The line has one of
/// three forms: the OpenAI Batch form, a bare body, or a prompt. The bytes of the body stay as they
/// are, except where an option adds something: a model or a system message that the line does not
/// have, and the stream fields at the end. Pure.
boost::system::result<request, bad_line> parse_job_line(std::string_view line, std::uint64_t number,
                                                        const job_options& options);

}  // namespace sluice
