/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BATON_TABLE_WORK_H
#define BATON_TABLE_WORK_H
#include "forward.h"
#endif
