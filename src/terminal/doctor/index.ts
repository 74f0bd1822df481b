/** The command `twinrail doctor`, and what it knows about proxies. */
export { type DoctorOptions, doctorCommand } from './doctor.ts'
export { proxies, remedies } from './remedies.ts'
export type { Report } from './report.ts'
