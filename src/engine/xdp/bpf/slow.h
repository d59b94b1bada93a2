/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BATON_SLOW_H
#define BATON_SLOW_H
#endif
