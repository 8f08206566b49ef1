#include "common_templates.h"

THINKREC_COMMON_TEMPLATES()
