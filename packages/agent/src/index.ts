export {
  PLANE_READ_BYTES_MAX,
  type Plane,
  type PlaneBody,
  type PlaneCard,
  type PlaneEntry,
  type PlaneOptions,
  type PlanePage,
} from './plane.js';
