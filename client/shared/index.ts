/** The entry `twinrail-client/shared`: all tabs of a browser share their connections. */
export { type SharedTabsOptions, sharedTabs } from './shared-tabs.ts'
