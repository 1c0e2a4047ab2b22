#pragma once

#include <sys/stat.h>

#include <string>

namespace sluice::cli {

// Who may have written what this user is about to trust. Root may write everything anyway, so what
// is root's is as good as the user's own.

/// The user's own file or root's.
bool is_own(const struct stat& file);

/// Others than its owner and root may write it. A group in which the user is alone is not others:
/// many systems give each user such a group, and a umask of 002. `path` leads to the file, and is
/// asked for an access list, which may let others in behind the group's bits.
bool others_may_write(const struct stat& file, const std::string& path);

/// Others may put a file of that folder in the place of another: it is theirs to write, and not
/// sticky. A folder that cannot be looked at counts.
bool others_may_replace_in(const std::string& folder);

}  // namespace sluice::cli
